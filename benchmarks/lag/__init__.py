"""How far back each recurrent cell can learn to look, and how far its gradient reaches."""
