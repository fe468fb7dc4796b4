"""What may be wrong with a gateway and what is around it: looks for ``sluice doctor`` and the admin API."""
