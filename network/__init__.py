"""Networks: what they are called, which addresses they give, and the drivers that lay the wires."""
