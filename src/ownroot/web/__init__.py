"""What every HTTP edge of ours shares: problem documents, authentication, request ids, body limits."""
