"""Models of the code that this project follows: state dicts saved by `torch.save`, brought into checkpoints of ours."""
