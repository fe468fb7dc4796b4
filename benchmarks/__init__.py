"""What the gateway costs, beside what people would put in its place: ``make bench``."""
