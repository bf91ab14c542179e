"""Where a split pays: what each way costs on real networks (ways), regimes by prediction (search), some run (live)."""
