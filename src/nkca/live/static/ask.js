// A dialog that asks for confirmation before something is lost.

import { Button } from "./controls.js";
import { closeDialog, Dialog } from "./dialog.js";
import { html, useRef } from "./preact.js";

/** @param {{question: string, yes: string, no: string, answer: (yes: boolean) => void, closed: () => void}} props */
export default function Ask({ question, yes, no, answer, closed }) {
  const agreed = useRef(false);
  const end = () => {
    closed();
    answer(agreed.current);
  };
  const agree = () => {
    agreed.current = true;
    closeDialog("ask-dialog");
  };
  return html`<${Dialog} id="ask-dialog" label="ask-question" closed=${end}>
    <p id="ask-question">${question}</p>
    <div class="row"><span class="spring"></span>
      <${Button} id="ask-no" class="" label=${no} autofocus=${true} run=${() => closeDialog("ask-dialog")} />
      <${Button} id="ask-yes" class="primary" label=${yes} run=${agree} />
    </div>
  <//>`;
}
