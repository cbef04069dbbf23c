"""Tests of Ownroot; `./run test` runs them."""
