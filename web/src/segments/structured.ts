// Reads a Structured Field list of items (RFC 9651 §4.2.1), as far as Cache-Status needs it.

/** A bare value: a token and a string both become a string. */
export type Value = string | number | boolean

/** One member of a list, with its parameters in order of first appearance. */
export interface Item {
  value: Value
  parameters: Map<string, Value>
}

/** Parses a whole field. `null` means malformed: such a field is ignored in one piece, never in part. */
export function parseList(field: string): Item[] | null {
  if (field.length > LONGEST) return null
  const reader = new Reader(field)
  try {
    return reader.list()
  } catch (error) {
    if (error instanceof Malformed) return null
    throw error
  }
}

class Malformed extends Error {}

class Reader {
  private at = 0

  constructor(private readonly text: string) {}

  list(): Item[] {
    const items: Item[] = []
    this.skip(' ')
    while (this.at < this.text.length) {
      items.push(this.item())
      this.skip(' \t')
      if (this.at === this.text.length) break
      this.expect(',')
      this.skip(' \t')
      if (this.at === this.text.length) throw new Malformed('a list does not end in a comma')
    }
    return items
  }

  private item(): Item {
    const value = this.value()
    const parameters = new Map<string, Value>()
    while (this.peek() === ';') {
      this.at += 1
      this.skip(' ')
      const key = this.match(/[a-z*][a-z0-9_.*-]*/y)
      const present = this.peek() === '='
      if (present) this.at += 1
      parameters.set(key, present ? this.value() : true)
    }
    return { value, parameters }
  }

  private value(): Value {
    const first = this.peek()
    if (first === '"') return this.string()
    if (first === '?') return this.match(/\?[01]/y) === '?1'
    if (first === '-' || (first >= '0' && first <= '9')) {
      return Number(this.match(/-?(\d{1,12}\.\d{1,3}|\d{1,15})/y))
    }
    return this.match(/[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/y)
  }

  private string(): string {
    const quoted = this.match(/"(?:[ !#-[\]-~]|\\["\\])*"/y)
    return quoted.slice(1, -1).replace(/\\(.)/g, '$1')
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found === undefined) throw new Malformed(`unexpected text at ${this.at}`)
    this.at += found.length
    return found
  }

  private expect(character: string): void {
    if (this.peek() !== character) throw new Malformed(`expected ${character} at ${this.at}`)
    this.at += 1
  }

  private peek(): string {
    return this.text.charAt(this.at)
  }

  private skip(characters: string): void {
    while (this.at < this.text.length && characters.includes(this.peek())) this.at += 1
  }
}

/** The longest field that is read, in characters; a longer one tells a viewer nothing. */
const LONGEST = 8192
