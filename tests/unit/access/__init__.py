"""Who gets in: the decisions, without IO."""
