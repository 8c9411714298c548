"""The neural parts: the sentence encoder and its workers, the classifier, its loss and its batches."""
