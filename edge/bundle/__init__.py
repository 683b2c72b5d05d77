"""One file for a lawyer: a record with everything that proves it, and what checks it."""
