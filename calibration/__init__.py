"""From reference passes to a certificate: gains with their uncertainty, errors, classes."""
