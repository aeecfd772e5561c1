"""fedlearn: federated, privacy-preserving training you can run, measure and attack."""
