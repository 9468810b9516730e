# FLIP-MCL on CLIP ViT-B/16: both towers trained, the mean over the modalities. Nothing is downloaded: from the
# weights of OpenAI (a state dict) make the file of the image tower once with
#   mmfas weights convert openai_clip clip_vit_b_16.pth checkpoints/clip_vit_base_p16.pth
# The text tower reads the file of OpenAI itself.
_base_ = './mmda_clip_vit_base_p16.py'

model = dict(
    neck=dict(_delete_=True, type='MeanNeck'),
    head=dict(
        _delete_=True,
        type='TextContrastHead',
        anchors=dict(
            dims=512,
            num_anchors=(6, 6),
            train_text=True,
            text_tower=dict(prompts='flip', pretrained='checkpoints/clip_vit_b_16.pth'),
        ),
    ),
)
