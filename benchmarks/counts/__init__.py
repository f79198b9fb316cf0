"""What a request costs, counted: no clock, so that a busy machine says the same as an idle one."""
