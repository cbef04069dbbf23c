"""The program on the device: register, check in, renew, keep its identity fresh."""
