// The page's entry: one document serves `/` and `/watch`, the path tells which of the two is meant.
const watch = location.pathname.replace(/\/+$/, '') === '/watch'
await (watch ? import('./watch/main') : import('./films/main'))

export {}
