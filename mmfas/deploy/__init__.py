"""From a trained model to a verdict: bundles, inference, export, serving. Import from the modules in here."""
