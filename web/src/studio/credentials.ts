// Who publishes, and what they show. A password is sent once and forgotten; a key stays in memory; the refresh token of
// a login stays with the tab, so that a reload needs no new login, and is gone when the tab is closed.
import type { Caller, Login } from '../api/answers'
import { Problem } from '../api/problem'
import * as publishers from '../api/publishers'

/** The calls that are made. */
export type Calls = Pick<typeof publishers, 'caller' | 'login' | 'refresh' | 'logout'>

export class Credentials {
  private key: string | null = null
  private access: { token: string; until_ms: number } | null = null
  private renewing: Promise<boolean> | null = null

  constructor(
    private readonly tab: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>,
    private readonly calls: Calls = publishers,
  ) {}

  /** Who it is that is here: by a login that this tab has, or by being on the machine itself; `null` for nobody. */
  async open(): Promise<Caller | null> {
    if (this.tab.getItem(REFRESH) !== null) await this.renews()
    return this.calls.caller(await this.shows())
  }

  /** Logs in with an account. */
  async login(email: string, password: string): Promise<Caller | null> {
    this.keep(await this.calls.login(email, password))
    return this.calls.caller(await this.shows())
  }

  /** Uses an API key or the operator key from now on; one that does not count is not kept. */
  async use(key: string): Promise<Caller | null> {
    const caller = await this.calls.caller({ authorization: `Bearer ${key}` })
    if (caller !== null) this.key = key
    return caller
  }

  /** Whether something is shown, or whoever is on this machine counts. */
  signedIn(): boolean {
    return this.key !== null || this.access !== null
  }

  /** Forgets everything, and ends the login at the control plane too. */
  async leave(): Promise<void> {
    const refresh = this.tab.getItem(REFRESH)
    this.forget()
    // A login that cannot be ended ends by itself.
    if (refresh !== null) await this.calls.logout(refresh).catch(() => {})
  }

  /** The fields of a request that show who asks. */
  readonly shows = async (): Promise<publishers.Shown> => {
    if (this.key !== null) return { authorization: `Bearer ${this.key}` }
    if (this.access !== null && Date.now() > this.access.until_ms) await this.renews()
    return this.access === null ? {} : { authorization: `Bearer ${this.access.token}` }
  }

  /** Gets other credentials after a refusal; `false` when there are none. Those who ask at once share one renewal. */
  readonly renews = (): Promise<boolean> => {
    this.renewing ??= this.renew().finally(() => (this.renewing = null))
    return this.renewing
  }

  private async renew(): Promise<boolean> {
    const refresh = this.tab.getItem(REFRESH)
    if (refresh === null || this.key !== null) return false
    try {
      this.keep(await this.calls.refresh(refresh))
      return true
    } catch (error) {
      // Only a login that is over is forgotten, not one whose renewal did not get through.
      if (error instanceof Problem && error.status === 401) this.forget()
      return false
    }
  }

  private keep({ access, access_s, refresh }: Login): void {
    this.key = null
    this.access = { token: access, until_ms: Date.now() + Math.max(1, access_s - EARLY_S) * 1000 }
    this.tab.setItem(REFRESH, refresh)
  }

  private forget(): void {
    this.key = this.access = null
    this.tab.removeItem(REFRESH)
  }
}

/** Whether somebody may publish, and needs a channel for it; `null` when they may not. */
export function mayPublish(caller: Caller): { channel: boolean } | null {
  switch (caller.kind) {
    case 'operator':
      return { channel: false }
    case 'backend':
      return caller.scopes.includes('upload') ? { channel: false } : null
    case 'user':
      return caller.role === 'operator' ? { channel: false } : caller.role === 'publisher' ? { channel: true } : null
  }
}

const REFRESH = 'millrace.login'
/** Tokens are renewed this much before they end. */
const EARLY_S = 30
