"""How fast kanfield is here: the operators, whole training steps, and the floor that the machine sets."""
