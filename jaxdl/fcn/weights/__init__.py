"""VGG-16's weights from other tools."""
