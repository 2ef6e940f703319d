// The watch page's keys.

/** What a key does. */
export type Action =
  | { do: 'toggle' | 'mute' | 'fullscreen' }
  | { do: 'skip'; by_s: number }
  | { do: 'jump'; to: number }

/** The part of a KeyboardEvent that matters, and where the focus is. */
export interface Press {
  key: string
  /** Ctrl, Alt or Meta is held: the key belongs to the browser. */
  modified: boolean
  /** `form`: a control that uses keys itself; `video`: the player, whose own controls know space and arrows. */
  focus: 'page' | 'form' | 'video'
}

/** Which action a key press asks for, if any. */
export function action({ key, modified, focus }: Press): Action | null {
  if (modified || focus === 'form') return null
  if (focus === 'video' && NATIVE.has(key)) return null
  if (/^\d$/.test(key)) return { do: 'jump', to: Number(key) / 10 }
  return ACTIONS[key.toLowerCase()] ?? null
}

const NATIVE = new Set([' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End'])

const ACTIONS: Readonly<Record<string, Action>> = {
  ' ': { do: 'toggle' },
  k: { do: 'toggle' },
  m: { do: 'mute' },
  f: { do: 'fullscreen' },
  j: { do: 'skip', by_s: -10 },
  l: { do: 'skip', by_s: 10 },
  arrowleft: { do: 'skip', by_s: -5 },
  arrowright: { do: 'skip', by_s: 5 },
}
