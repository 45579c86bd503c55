"""FaceVoice Bench: one harness for systems that cross voice and face."""

__version__ = "0.1.0"
