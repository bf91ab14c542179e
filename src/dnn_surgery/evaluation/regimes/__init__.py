"""Where a split pays: what each way costs on real networks (ways), all regimes by prediction (search), some run (live)."""
