"""What the two probes share: a grid of classifiers on frozen features, trained at once, and the choice among them."""
