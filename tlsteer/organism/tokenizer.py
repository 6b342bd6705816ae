"""The tokenizer: byte-level BPE over the world's own text."""

from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .curriculum import BASE_STAGES, INSTRUCT_STAGES
from .grammar.chat import BOS, CHAT_TEMPLATE, EOS, PAD, SPECIAL_TOKENS

VOCABULARY_SIZE = 2048
_STEPS_READ = 150


def build_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Trains the tokenizer on texts of the two largest stages and gives it the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_plain_texts(seed), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (BOS, EOS, PAD)],
        chat_template=CHAT_TEMPLATE,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _plain_texts(seed: int) -> Iterator[str]:
    for stage in (BASE_STAGES[-1], INSTRUCT_STAGES[-1]):
        for step in range(_STEPS_READ):
            for text in stage.texts(step, seed):
                whole = text.context + text.target
                for token in SPECIAL_TOKENS:
                    whole = whole.replace(token, "\n")
                yield whole
