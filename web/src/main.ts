// The page's entry: one document serves `/`, `/watch` and `/studio`, the path tells which of them is meant.
switch (location.pathname.replace(/\/+$/, '')) {
  case '/watch':
    await import('./watch/main')
    break
  case '/studio':
    await import('./studio/main')
    break
  default:
    await import('./films/main')
}

export {}
