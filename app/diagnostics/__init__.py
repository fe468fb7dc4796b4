"""Diagnosis of a gateway and what surrounds it, for ``sluice doctor`` and the admin API."""
