"""Request, response and file shapes shared by both ends; parse and print only."""
