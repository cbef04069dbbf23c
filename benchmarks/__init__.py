"""What Ownroot is measured against, and how; `./run bench` runs it and RESULTS.md has the last numbers."""
