// Topic matching: a trie of words. A message's words walk it with the set of nodes reached so far, so the cost is bounded
// by words times nodes and no pattern of many '#' makes it explode. 0-9-1 §3.1.3.3.
import type { FieldTable } from '../../protocol/field-table'
import type { Binding } from './binding'
import type { Matcher } from './exchange'

class Node {
  readonly children = new Map<string, Node>()
  readonly bindings = new Set<Binding>()
  constructor(
    readonly parent: Node | null,
    readonly word: string,
  ) {}
}

export class TopicMatcher implements Matcher {
  private readonly root = new Node(null, '')

  add(binding: Binding): void {
    let node = this.root
    for (const word of wordsOf(binding.routingKey)) {
      let child = node.children.get(word)
      if (child === undefined) {
        child = new Node(node, word)
        node.children.set(word, child)
      }
      node = child
    }
    node.bindings.add(binding)
  }

  remove(binding: Binding): void {
    let node: Node | undefined = this.root
    for (const word of wordsOf(binding.routingKey)) node = node?.children.get(word)
    node?.bindings.delete(binding)
    while (node !== undefined && node.parent !== null && node.bindings.size === 0 && node.children.size === 0) {
      node.parent.children.delete(node.word)
      node = node.parent
    }
  }

  match(routingKey: string, _headers: () => FieldTable, visit: (binding: Binding) => void): void {
    let reached = new Set<Node>()
    enter(this.root, reached)
    for (const word of wordsOf(routingKey)) {
      const next = new Set<Node>()
      for (const node of reached) step(node, word, next)
      if (next.size === 0) return
      reached = next
    }
    for (const node of reached) node.bindings.forEach(visit)
  }
}

/** Reaching a node also reaches its '#' child, which stands for no words at all. */
function enter(node: Node, reached: Set<Node>): void {
  reached.add(node)
  const hash = node.children.get('#')
  if (hash !== undefined && !reached.has(hash)) enter(hash, reached)
}

function step(node: Node, word: string, next: Set<Node>): void {
  if (node.word === '#' && node.parent !== null) enter(node, next)
  if (word !== '#' && word !== '*') {
    const exact = node.children.get(word)
    if (exact !== undefined) enter(exact, next)
  }
  const any = node.children.get('*')
  if (any !== undefined) enter(any, next)
}

/** The empty key has no words at all, as in RabbitMQ; 'a..b' has an empty one, which '*' matches. */
function wordsOf(key: string): string[] {
  return key === '' ? [] : key.split('.')
}
