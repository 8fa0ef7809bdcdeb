"""How fast kanfield is here: the operator, whole training steps, and the floor that the machine sets."""
