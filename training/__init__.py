"""How the pocket model is made. Needs torch (extra `training`); nothing of it is needed to use the result."""
