"""The seven phases: each reads and writes artifacts around pure functions. Phases never import each other."""
