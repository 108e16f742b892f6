// The types of what the page uses of preact.js.

export interface Signal<T> {
  value: T;
}
export function signal<T>(value: T): Signal<T>;
export function computed<T>(compute: () => T): { readonly value: T };
export function effect(run: () => void | (() => void)): () => void;
export function batch<T>(run: () => T): T;

export type VNode = object;
export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;
export function render(what: VNode, where: Element): void;
export function useState<T>(first: T | (() => T)): [T, (next: T) => void];
export function useRef(first: null): { current: any };
export function useRef<T>(first: T): { current: T };
export function useMemo<T>(make: () => T, when: unknown[]): T;
export function useEffect(run: () => unknown, when?: unknown[]): void;
export function useLayoutEffect(run: () => unknown, when?: unknown[]): void;
