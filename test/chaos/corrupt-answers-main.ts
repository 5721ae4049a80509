import { ServerResponse } from 'node:http';
import { corruptAnswers } from './corrupt-answers.ts';

// Loaded before a daemon: it sends its neighbours wrong bytes, under its own certificate, and believes them to be right.
corruptAnswers(ServerResponse.prototype);
