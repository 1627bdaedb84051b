"""The database follows the branch: snapshots of what is applied, and switches between them."""
