"""Deploy: from a laptop to robots over ssh. `deploy.sh` is its cover."""
