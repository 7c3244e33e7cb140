// Headers matching: x-match all (default), any, all-with-x, any-with-x. A null (void) value in the binding asks for
// presence only. Header names that start with x- count only in the -with-x forms. RabbitMQ docs "Headers Exchange".
//
// Bindings are looked up by the headers that a message has: one that needs all of its fields stands under the first of them, one
// that needs any stands under each. So a message costs its headers and the bindings that share one with it, not all there are.
import { ChannelError, ReplyCode } from '../../protocol'
import {
  type FieldTable,
  type FieldValue,
  fieldEquals,
  fieldType,
  fieldTypeName,
  fieldValueText,
} from '../../protocol/field-table'
import { argument, binaryText } from './arguments'
import type { Binding } from './binding'
import type { Arguments } from './core-api'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

type Field = [name: string, value: FieldValue]

interface Rule {
  binding: Binding
  any: boolean
  fields: Field[]
  /** The match that last looked at it: once each, however many headers lead to it. */
  lookedAt: number
}

export class HeadersMatcher implements Matcher {
  readonly isRepeatable = false
  private readonly rules = new Map<Binding, Rule>()
  /** By name and value of a field, see `keyOf`. */
  private readonly byField = new Map<string, Set<Rule>>()
  /** Those that ask for nothing. */
  private readonly always = new Set<Binding>()
  private matches = 0

  add(binding: Binding): void {
    const rule = ruleOf(binding)
    this.rules.set(binding, rule)
    if (!rule.any && rule.fields.length === 0) this.always.add(binding)
    for (const key of keysOf(rule)) {
      const rules = this.byField.get(key)
      if (rules === undefined) this.byField.set(key, new Set([rule]))
      else rules.add(rule)
    }
  }

  remove(binding: Binding): void {
    const rule = this.rules.get(binding)
    if (rule === undefined) return
    this.rules.delete(binding)
    this.always.delete(binding)
    for (const key of keysOf(rule)) {
      const rules = this.byField.get(key)
      rules?.delete(rule)
      if (rules?.size === 0) this.byField.delete(key)
    }
  }

  match(message: RoutedMessage, visit: (binding: Binding) => void): void {
    if (this.rules.size === 0) return
    this.always.forEach(visit)
    if (this.byField.size === 0) return
    this.matches++
    const { headers } = message
    for (const [name, value] of Object.entries(headers)) {
      this.look(keyOf(name, null), headers, visit)
      if (value !== null) this.look(keyOf(name, value), headers, visit)
    }
  }

  private look(key: string, headers: FieldTable, visit: (binding: Binding) => void): void {
    const rules = this.byField.get(key)
    if (rules === undefined) return
    for (const rule of rules) {
      if (rule.lookedAt === this.matches) continue
      rule.lookedAt = this.matches
      if (isMet(rule, headers)) visit(rule.binding)
    }
  }
}

const X_MATCH = ['all', 'any', 'all-with-x', 'any-with-x']

/** Throws 406 for an x-match that is none. */
export function checkHeadersArguments(args: Arguments): void {
  const value = argument(args, 'x-match')
  if (value === undefined || (typeof value === 'string' && X_MATCH.includes(value))) return
  const text = value === null ? 'undefined' : fieldValueText(value)
  const reason =
    typeof value === 'string'
      ? `Invalid x-match field value ${binaryText(value)}; expected all, any, all-with-x, or any-with-x`
      : `Invalid x-match field type ${fieldTypeName(value)} (value ${text}); expected longstr`
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, reason)
}

function ruleOf(binding: Binding): Rule {
  const args = binding.arguments
  const mode = argument(args, 'x-match') ?? 'all'
  const withX = mode === 'all-with-x' || mode === 'any-with-x'
  const fields: Field[] = []
  for (const [name, value] of Object.entries(args)) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue
    fields.push([name, value])
  }
  return { binding, any: mode === 'any' || mode === 'any-with-x', fields, lookedAt: 0 }
}

function isMet(rule: Rule, table: FieldTable): boolean {
  const hit = ([name, expected]: Field) => {
    const value = argument(table, name)
    if (value === undefined) return false
    return expected === null || fieldEquals(value, expected)
  }
  return rule.any ? rule.fields.some(hit) : rule.fields.every(hit)
}

/** Where the binding of the rule stands in the index. */
function keysOf({ any, fields }: Rule): string[] {
  return (any ? fields : fields.slice(0, 1)).map(([name, value]) => keyOf(name, value))
}

/** Equal for equal values, whatever their width; `isMet` decides among those that share it. */
function keyOf(name: string, value: FieldValue): string {
  if (typeof value === 'string') return `${name}\0S${value}`
  if (value === null) return `${name}\0`
  return Array.isArray(value) || fieldType(value) === 'F' ? `${name}\0F` : `${name}\0${fieldValueText(value)}`
}
