"""What must never go wrong, tried many times over: ``sh tests/torture.sh``. One file a family of trials."""
