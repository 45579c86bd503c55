"""Pretrained networks inside metrics; each is handed the file that holds its weights.

    face_embedder      descriptors of faces: dlib_faces with dlib_resnet, facenet, insightface_pack with scrfd
    face_judges        sex and age in a face: face_heads, age_gender, insightface_pack
    vggface2_resnet50  identities
    face_landmarks     68 points of a face
    recognisers        words and phones: sphinx, whisper, quartznet, transformers_asr
    ge2e, wespeaker    embeddings of voices
    dnsmos_models, nisqa_model   opinion scores

    weight_files  state dicts in the files that authors publish; `inert_pickle` unpickles and runs nothing
    carried       files of weights that an installed package carries
    onnx_files    networks and weights in ONNX files
    not_weights   what lies where a download went wrong
    state         weights put into a network, all names and shapes as they must be
    mel           mel spectrograms as these networks know them

A module has `load(path, device)`; which file it gets is for the harness to say.
"""
