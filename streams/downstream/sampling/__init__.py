"""The retraining sampler: which frames people shall look at and models shall learn from."""
