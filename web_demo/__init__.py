"""The web demo: paint over what disturbs, and it is gone. `eraser web` opens it."""
