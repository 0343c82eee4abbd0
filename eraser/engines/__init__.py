"""The engines. Import nothing from here: `eraser.engines.registry` loads them by name."""
