export interface KeyActions {
  /** Returns whether there is such a process. */
  readonly move: (letter: string, crash: boolean) => boolean;
  /** Moves by this many steps; ±Infinity: to the first or last. */
  readonly go: (by: number) => void;
  readonly playOrPause: () => void;
}

const jumps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/** Listens to single keys, unless a control needs them itself, and only while the box is ticked. */
export function listenToKeys(enabled: HTMLInputElement, actions: KeyActions): void {
  document.addEventListener('keydown', (event) => {
    if (!enabled.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest('select, input, summary')) return;
    const jump = jumps[event.key];
    if (jump !== undefined) actions.go(jump);
    else if (event.key === ' ' && !target.closest('button')) actions.playOrPause();
    else if (!/^[a-zA-Z]$/.test(event.key) || !actions.move(event.key.toUpperCase(), event.shiftKey)) return;
    event.preventDefault();
  });
}
