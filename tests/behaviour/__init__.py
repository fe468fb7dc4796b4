"""How the running gateway behaves: faults, attacks and time, over real sockets under the real worker."""
