"""`nextclick export`: a neural model as an ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nextclick.cli.output import ArtifactPath, Json, Overwrite, print_json, show


def export_command(
    artifact: ArtifactPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the export.")],
    member: Annotated[
        str | None,
        typer.Option(help="Member of a blend to export, as `nextclick train` named it: narm."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Export a neural model to ONNX, to serve it without nextclick.

    \b
        pip install 'nextclick[neural]'
        nextclick export model -o exported
        nextclick export blend --member cosine-gru -o exported
        python exported/example.py 214536502 214536500

    The folder has model.onnx, the ids of items and users, manifest.json with the inputs and the
    digests of all files, and example.py, which needs onnxruntime and numpy only.

    The graph reads B sessions of up to T item indices, padded on the right, and their lengths;
    a model that reads times or users also reads gaps, waited or users. It returns the scores of
    all items and the query vectors. Batch and length are dynamic; all numbers are float32.

    Exported are gru4rec, improved-gru4rec, narm, stamp, sasrec, asars without earlier sessions,
    youtube-dnn, wavenet, csrm, lgsr and cosine-gru. Counting models, blends as a whole, and the
    graph networks sr-gnn, lessr and tasrec are served by `nextclick serve` only.
    """  # noqa: D301
    from nextclick.export import export_onnx

    manifest = export_onnx(artifact, output, member=member, overwrite=overwrite)
    inputs = ", ".join(each["name"] for each in manifest["inputs"])
    show(f"{output}: {manifest['model']} in ONNX, opset {manifest['opset']}; inputs {inputs}")
    show(f"recommend with: python {output}/example.py ID ID ...")
    if as_json:
        print_json("export/1", {"path": str(output), "manifest": manifest})
