"""The Hugging Face Hub and its cache on this machine. No module here imports a model."""
