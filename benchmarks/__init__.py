"""What the product is measured by: one command, one table, rivals in files of their own."""
